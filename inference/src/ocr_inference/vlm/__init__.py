"""The VLM server's client: the blocks of pages, many at a time.

With the backends `vllm` (a server on loopback) and `external` (a URL, with a key) an engine child
finds the blocks of a page, this package has an OpenAI-compatible server read them, and an engine
child makes the page of the answers (`engine.plan`). One pool bounds the blocks of all pages and
requests. A page that nobody waits for any more closes its streams at once, and the server stops
writing. The server's health shows in `/readyz` and `/health/vllm`, never in `/livez`: a restart of
this container would not mend that one.
"""
