"""One module a resource: a route validates, delegates and returns; its failures are declared beside it."""
