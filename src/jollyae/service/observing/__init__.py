"""How the queues are, told to people and programs: a sentence, metrics, health, history. It only reads."""
