// A library with nothing in it: what a wrong file looks like to the loader.
int nothing_here(void) { return 0; }
