"""What a notification is, and the ways it can go: a webhook, SQS, SNS, EventBridge, a command, another spool."""
