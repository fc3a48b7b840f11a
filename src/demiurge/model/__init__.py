"""What is learned: networks, losses, and the bundle file that carries them."""
