"""Ways to send a mail: SMTP and the development mailbox."""
