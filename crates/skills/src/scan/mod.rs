//! Reads every file of a package and says what it found.
