"""Names and places of generated users: our own lists, in a fixed order.

Changing a word changes every generated database, of every domain, so raise each generator's version with it.
"""

__all__ = ["CITIES", "FIRST_NAMES", "LAST_NAMES", "STREETS"]

_FIRST = """
Ada Adele Agnes Alba Alma Amara Anders Anika Ansel Arlo Asa Astrid Aurora Axel Basil Bea Beatrix Bjorn Boris Bruno
Callum Camila Carmen Cecil Celeste Clara Clive Cora Cyrus Dahlia Dalia Dante Daphne Darius Della Dmitri Dora Edgar
Edith Einar Elena Elio Elsa Elvira Emil Enzo Erik Esme Esther Ezra Farah Felix Fergus Fiona Flora Frida Gemma Gideon
Gloria Greta Gustav Hana Harriet Hector Helga Hugo Ida Igor Imani Ines Ingrid Iris Isidro Ivo Jada Jasper Joaquin
Jonas Jorge Juno Kai Karim Kenji Kira Lars Leander Leila Leo Lena Lorenzo Louisa Lucia Luka Mabel Magnus Malik
Marco Margot Matilda Milo Mina Mira Nadia Naomi Nell Nestor Nico Nina Odette Olga Omar Orla Oscar Otto Pablo
Paloma Petra Phoebe Quentin Rafael Ramona Ravi Rhea Rosa Rufus Sabine Saul Selma Silas Simone Soren Stella Tamar
Thea Tobias Ursula Vera Viktor Wanda Xenia Yara Zelda
"""

_LAST = """
Abbott Acosta Adler Alvarez Archer Aziz Bailey Banks Barlow Becker Bennett Berg Bishop Blake Bond Booth Boyd Brandt
Briggs Burke Byrne Calder Campos Carver Castro Chan Cohen Collins Conrad Cortez Crane Cross Curtis Dalton Daly
Decker Delgado Dietz Doyle Drake Duarte Duncan Dutta Eaton Ellis Engel Espinoza Farrell Fischer Fleming Flores
Foley Forde Foster Fox Fuchs Gallo Garner Gibbs Glass Gomes Gordon Graves Gray Greer Guerra Gupta Haas Hale Hansen
Hardy Hassan Hayes Heller Herrera Holt Horne Hughes Hunt Ibarra Inoue Iqbal Jansen Jensen Joshi Kane Kaur Keller
Kemp Khan Klein Knox Koch Kowal Krause Lang Larsen Leal Lehman Lowe Lund Lynch Maldonado Marsh Mason Mayer Mehta
Mendez Meyer Mora Munoz Navarro Nielsen Noble Novak Okada Olsen Ortega Osman Pace Padilla Palmer Park Pearce Peters
Petrov Pike Popov Porter Quinn Ramos Reed Reyes Rivas Rossi Roth Salas Sato Shaw Silva Singh Soto Stone Tanaka Vance
Vega Wagner Walsh Ward Weber Wolfe York Zamora Ziegler
"""

_STREETS = """
Acorn Alder Anchor Apple Aspen Bay Beacon Birch Bridge Brook Canal Castle Chapel Cherry Clover Copper Coral Dune Fern
Forest Garden Grove Harbor Hazel Hill Ivy Juniper Lake Laurel Linden Lily Market Meadow Mill Mint Orchard Pearl Pine
Pond Prairie Quarry Ridge River Rose Sage School Spring Stone Valley Violet Water Willow
"""

FIRST_NAMES = tuple(_FIRST.split())
LAST_NAMES = tuple(_LAST.split())
STREETS = tuple(_STREETS.split())

CITIES = (
    ("Tucson", "AZ", "857"),
    ("Fresno", "CA", "937"),
    ("Oakland", "CA", "946"),
    ("Boulder", "CO", "803"),
    ("Hartford", "CT", "061"),
    ("Tampa", "FL", "336"),
    ("Atlanta", "GA", "303"),
    ("Boise", "ID", "837"),
    ("Peoria", "IL", "616"),
    ("Wichita", "KS", "672"),
    ("Louisville", "KY", "402"),
    ("Boston", "MA", "021"),
    ("Baltimore", "MD", "212"),
    ("Lansing", "MI", "489"),
    ("Duluth", "MN", "558"),
    ("Omaha", "NE", "681"),
    ("Reno", "NV", "895"),
    ("Albany", "NY", "122"),
    ("Raleigh", "NC", "276"),
    ("Toledo", "OH", "436"),
    ("Tulsa", "OK", "741"),
    ("Salem", "OR", "973"),
    ("Memphis", "TN", "381"),
    ("Laredo", "TX", "780"),
)
"""City, state and the first three digits of its zip codes."""
