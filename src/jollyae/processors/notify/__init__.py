"""What a notification is, and the ways it can go: a webhook, SQS, SNS, EventBridge, an AMQP broker, a
command, another spool."""


class UrlError(ValueError):
    """This URL names nothing that a notification could go to. The text tells neither its path nor a password: they may
    be secrets."""
