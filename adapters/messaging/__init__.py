"""The dramatiq broker, and the relay that feeds it from the deliveries."""
