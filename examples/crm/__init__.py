"""A small CRM of an airline, to have something real to send rows to.

It behaves as such tools do: a batch call answers for each record, records are refused for reasons one can read, calls
beyond the rate limit get 429 with Retry-After, and a bearer token is asked for. It counts what it receives, so that
anyone can check what a sync really sent.
"""
