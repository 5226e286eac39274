"""The product types of generated shops: names, option words and price ranges.

Our own vocabulary, none of it from tau2's data. One lower-case word per name, option and value wherever English has
one: the embedded policy learns these words from a small corpus. Changing a word changes every generated database, so
raise `generator.GENERATOR_VERSION` with it.
"""

from typing import NamedTuple

__all__ = ["PRODUCT_TYPES", "ProductType"]


class ProductType(NamedTuple):
    """What variants of a product can look like."""

    name: str
    low: float
    """Lowest usual price in dollars."""
    high: float
    options: tuple[tuple[str, tuple[str, ...]], ...]
    """Option names with their possible values."""


_COLOR_WORDS = "black white red blue green grey brown pink purple orange yellow silver gold beige navy teal"
_COLORS = tuple(_COLOR_WORDS.split())
_SIZES = ("tiny", "small", "medium", "large", "huge")

_LINES = """
kettle 30 120 | color:4 | material: steel glass ceramic enamel | lid: hinged loose | size:3
lamp 35 190 | color:4 | light: warm cool neutral | power: mains battery solar
backpack 45 230 | color:5 | size:3 | fabric: canvas nylon leather wool
jacket 70 380 | color:5 | size:5 | lining: fleece down cotton none | hood: fixed loose
mug 28 60 | color:6 | material: clay steel glass bamboo | size:3
desk 160 900 | wood: oak pine walnut birch | shape: straight corner round | height: fixed variable
chair 90 640 | color:4 | material: leather mesh velvet linen | arms: padded plain none
sofa 420 2600 | color:5 | fabric: velvet linen leather cotton | seats: two three four
bicycle 320 2900 | color:4 | frame: steel carbon alloy titanium | terrain: road trail city | size:3
helmet 40 220 | color:4 | size:3 | visor: clear dark none
tent 110 840 | color:3 | sleeps: one two four six | season: summer autumn winter
blender 45 330 | color:3 | jar: glass steel plastic | speeds: two five ten
toaster 30 160 | color:4 | slots: two four | finish: matte glossy brushed
speaker 45 480 | color:4 | power: mains battery | sound: mono stereo surround | shape: round square tall
headset 50 520 | color:4 | style: open closed | link: wired wireless | microphone: fixed folding none
laptop 560 3200 | color:3 | memory: basic double quad | screen: small medium large | disk: half full | keys: quiet loud
tablet 150 1300 | color:4 | screen: small medium large | storage: half full extra
phone 220 1500 | color:5 | storage: half full extra | lens: single dual triple
watch 60 900 | dial: white black blue green | strap: leather steel rubber nylon | glass: flat curved
camera 210 2400 | color:2 | lens: wide zoom macro prime | body: light sturdy | storage: half full extra
printer 80 620 | ink: laser jet solid | color:2 | paper: letter legal tabloid
keyboard 35 260 | color:3 | layout: compact standard split | touch: soft clicky linear | backlight: white rainbow none
monitor 120 1400 | panel: flat curved | screen: small medium large | stand: fixed tilting arm
mattress 210 1900 | size: single double queen king | filling: foam spring latex wool | firmness: soft medium firm
pillow 28 110 | filling: foam feather latex buckwheat | firmness: soft medium firm | cover: cotton silk bamboo
blanket 32 210 | color:6 | fabric: wool cotton fleece silk | size: single double king
curtain 30 190 | color:6 | fabric: linen velvet cotton | length: short medium long
rug 60 980 | color:5 | shape: round oval square | pile: low high shaggy | size:3
mirror 40 420 | frame: oak brass black none | shape: round oval square arched
clock 30 240 | color:4 | face: plain roman digital | frame: wood metal plastic
vase 28 150 | color:5 | material: glass clay brass | shape: tall round narrow
boots 80 390 | color:3 | width: narrow regular wide | sole: rubber leather cork | lining: wool fleece none
sandals 30 150 | color:4 | width: narrow regular wide | strap: buckle velcro elastic
sneakers 50 260 | color:6 | width: narrow regular wide | upper: mesh leather canvas
scarf 28 140 | color:6 | fabric: wool silk cotton cashmere | pattern: plain striped checked dotted
gloves 28 130 | color:4 | fabric: wool leather fleece | size:3
umbrella 28 95 | color:5 | handle: straight curved | opening: manual automatic | size:3
suitcase 75 640 | color:5 | shell: hard soft | size:3 | wheels: two four
wallet 28 170 | color:4 | leather: smooth grained vegan | closing: zip snap open
guitar 140 2200 | wood: maple cedar spruce mahogany | strings: nylon steel | size: half full | finish: matte glossy
drum 90 1200 | color:3 | shell: maple birch poplar | depth: shallow deep
skateboard 45 260 | deck: maple bamboo plastic | wheels: hard soft | design: plain striped flames
racket 40 330 | weight: light medium heavy | grip: thin regular thick | strings: gut nylon hybrid
kayak 380 2100 | color:4 | hull: flat rounded | seats: one two | material: plastic composite inflatable
grill 110 1600 | fuel: charcoal gas electric pellet | size:3 | lid: domed flat none
knife 32 290 | blade: carbon steel ceramic damascus | handle: oak walnut resin | length: short medium long
skillet 30 210 | material: iron copper steel titanium | size:3 | coating: bare enamel ceramic
puzzle 28 80 | theme: castle forest ocean space | pieces: few some many | material: card wood
telescope 130 2300 | mount: table tripod fork | optics: lens mirror hybrid | finder: laser dot none
shelf 45 520 | wood: oak pine walnut | color:3 | tiers: two three four five
"""


def _values(words: str, number: int) -> tuple[str, ...]:
    """Values of one option; `color:4` takes four colors, another set for each product."""
    return tuple(_COLORS[(3 * number + 5 * step) % len(_COLORS)] for step in range(int(words)))


def _parse(line: str, number: int) -> ProductType:
    head, *fields = (field.strip() for field in line.split("|"))
    name, low, high = head.split()
    options = []
    for field in fields:
        option, _, words = (part.strip() for part in field.partition(":"))
        if words.isdigit():
            count = int(words)
            middle = (len(_SIZES) - count) // 2
            values = _values(words, number) if option == "color" else _SIZES[middle : middle + count]
        else:
            values = tuple(words.split())
        options.append((option, tuple(values)))
    return ProductType(name, float(low), float(high), tuple(options))


PRODUCT_TYPES = tuple(_parse(line, number) for number, line in enumerate(_LINES.strip().splitlines()))
"""All product types, in a fixed order."""
