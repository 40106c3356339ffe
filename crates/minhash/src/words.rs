/// The words of a text, joined by single spaces: a shingle of them is a piece of that text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    text: String,
    starts: Vec<usize>,
    ends: Vec<usize>,
}

impl Words {
    /// The words of a text that are parted by one space each.
    #[must_use]
    pub fn spaced(text: String) -> Self {
        let mut words = Self::default();
        if text.is_empty() {
            return words;
        }
        words.starts.push(0);
        for (at, byte) in text.bytes().enumerate() {
            if byte == b' ' {
                words.ends.push(at);
                words.starts.push(at + 1);
            }
        }
        words.ends.push(text.len());
        Self { text, ..words }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Every run of so many words, in order; none if there are fewer.
    pub fn shingles(&self, words: usize) -> impl Iterator<Item = &str> {
        let ends = self.ends.iter().skip(words.saturating_sub(1));
        self.starts
            .iter()
            .zip(ends)
            .filter(move |_| words > 0)
            .filter_map(|(start, end)| self.text.get(*start..*end))
    }
}

impl<'a> FromIterator<&'a str> for Words {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        let mut joined = Self::default();
        for word in words {
            if !joined.starts.is_empty() {
                joined.text.push(' ');
            }
            joined.starts.push(joined.text.len());
            joined.text.push_str(word);
            joined.ends.push(joined.text.len());
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shingles_are_runs_of_words() {
        let words = Words::spaced("été 中 of the year".into());
        assert_eq!(words, "été 中 of the year".split(' ').collect());
        let shingles = |count| words.shingles(count).collect::<Vec<_>>();
        assert_eq!(shingles(3), ["été 中 of", "中 of the", "of the year"]);
        assert_eq!(shingles(5), ["été 中 of the year"]);
        assert_eq!(shingles(1).len(), 5);
        for none in [0, 6, usize::MAX] {
            assert!(shingles(none).is_empty(), "{none}");
        }
        assert!(Words::spaced(String::new()).is_empty());
        assert_eq!(Words::default().shingles(1).count(), 0);
    }
}
