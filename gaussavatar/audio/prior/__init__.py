"""How the weights of the audio feature ``viseme`` are made; nothing that plays or trains an avatar needs this."""
