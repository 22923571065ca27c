"""Between the wire and the theory: what a request asks for is worked out here, in the service's process or in a worker's."""
