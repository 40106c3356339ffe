use crate::LanguageModelError;

/// Numbers and texts from the bytes of a file, in their order.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], LanguageModelError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(cut)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LanguageModelError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn i32(&mut self) -> Result<i32, LanguageModelError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, LanguageModelError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, LanguageModelError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, LanguageModelError> {
        Ok(self.u8()? != 0)
    }

    /// A count or a size: not negative.
    pub(super) fn size(&mut self) -> Result<usize, LanguageModelError> {
        usize::try_from(self.i64()?).map_err(|_| wrong())
    }

    /// As [`Reader::size`], of 32 bits.
    pub(super) fn small_size(&mut self) -> Result<usize, LanguageModelError> {
        usize::try_from(self.i32()?).map_err(|_| wrong())
    }

    pub(super) fn floats(&mut self, count: usize) -> Result<Vec<f32>, LanguageModelError> {
        let bytes = self.take(count.checked_mul(4).ok_or_else(wrong)?)?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let floats: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        match floats.iter().all(|value| value.is_finite()) {
            true => Ok(floats),
            false => Err(LanguageModelError::foreign("it holds a number that is none")),
        }
    }

    /// Bytes up to the next zero, which is passed over.
    pub(super) fn until_zero(&mut self) -> Result<&'a [u8], LanguageModelError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        let word = self.take(end)?;
        self.take(1)?;
        Ok(word)
    }
}

fn cut() -> LanguageModelError {
    LanguageModelError::foreign("it is cut")
}

fn wrong() -> LanguageModelError {
    LanguageModelError::foreign("a size in it is negative or too large")
}
