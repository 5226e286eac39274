"""Strong models behind an OpenAI-compatible endpoint: one client for every role that a program plays otherwise.

`endpoint` (settings), `wire` (our messages in the protocol's shape and back), `client` (calls, retries, limits, usage),
`structured` (replies parsed against a schema), `prompts` (versioned prompt files), `flow` (many calls at once). What a
model says is data here: parsed, bounded, never evaluated. Knows no domain and no role; the roles stand where the
programs stand that they replace.
"""
