"""Pages for people. So far: where the address leads, and the confirmation of a mailbox."""
