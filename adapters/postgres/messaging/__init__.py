"""Events and their deliveries: written with the change, claimed by the relay, finished by the consumer."""
