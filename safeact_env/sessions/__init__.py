"""Episodes that outlive a request: who may step which, when they expire, what may be asked of them."""
