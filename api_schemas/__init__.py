"""The wire, version 1: every request and response as a pydantic model. Imports nothing of ours but itself."""
