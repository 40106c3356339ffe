//! Text for machines: normalisation, words, languages.
