"""The dashboard: what lies in each queue, why it waits, and what can be done about it. It reads the places, the notes,
the receipts and what live workers write of themselves; never a worker's memory."""
