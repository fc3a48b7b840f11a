"""The viewer: surfaces and images in the browser, served from this machine."""
