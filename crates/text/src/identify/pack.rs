use super::layout::{GROUP, Header, Layout, MAGIC, NO_WORD, VERSION};
use crate::{FastText, LanguageModelError, fasttext::fnv1a};

/// Packs a model into the form that [`crate::LanguageIdentifier`] opens. The same model gives the
/// same bytes.
///
/// # Errors
/// When the model has more words or more text in them than any has.
pub fn pack_identifier(model: &FastText) -> Result<Vec<u8>, LanguageModelError> {
    let too_large = || LanguageModelError::foreign("it is larger than any model that is known");
    let words = model.dictionary.words();
    let dimension = model.options.dimension;
    let text: usize = words.iter().map(Vec::len).sum();
    let buckets = model.options.buckets;
    let kept: Vec<(u32, usize)> = (0..buckets)
        .filter_map(|bucket| Some((bucket, model.dictionary.row_of(bucket)?)))
        .filter(|(_, row)| *row < model.input.rows())
        .collect();
    let header = Header {
        dimension,
        word_ngrams: model.options.word_ngrams,
        buckets,
        characters: model.options.characters,
        words: words.len(),
        text,
        places: (words.len() * 2 + 1).next_power_of_two(),
        rows: kept.len(),
        outputs: model.output.weights.len() / dimension.max(1),
        nodes: model.output.tree.len(),
        loss: model.output.loss,
        labels: model.labels().into_iter().map(str::to_owned).collect(),
    };
    let description = serde_json::to_vec(&header).unwrap_or_default();
    let layout = Layout::of(&header, description.len()).ok_or_else(too_large)?;
    let number = |size: usize| u32::try_from(size).map_err(|_| too_large());
    let mut packed = Packer { bytes: vec![0; layout.total] };
    let head = [MAGIC, &VERSION.to_le_bytes(), &number(description.len())?.to_le_bytes()];
    packed.put(0, &[&head.concat(), description.as_slice()].concat());

    let mut table = vec![[0, NO_WORD]; header.places];
    let mut starts = vec![0u32];
    for (word, at) in words.iter().zip(0u32..) {
        let hash = fnv1a(word);
        let mut place = hash as usize & (header.places - 1);
        while table.get(place).is_some_and(|[_, word]| *word != NO_WORD) {
            place = (place + 1) & (header.places - 1);
        }
        if let Some(free) = table.get_mut(place) {
            *free = [hash, at];
        }
        let last = starts.last().copied().unwrap_or(0) as usize;
        starts.push(number(last + word.len())?);
    }
    packed.put(layout.table.start, bytemuck::cast_slice(&table));
    packed.put(layout.starts.start, bytemuck::cast_slice(&starts));
    packed.put(layout.text.start, &words.concat());

    let (mut counts, mut sums) = (Vec::new(), Vec::new());
    for (row, word) in words.iter().enumerate() {
        let rows = model.rows_of_word(row, word);
        let mut sum = vec![0.0; dimension];
        rows.iter().for_each(|row| model.input.add_row(*row, &mut sum));
        counts.push(number(rows.len())?);
        sums.extend(sum);
    }
    packed.put(layout.counts.start, bytemuck::cast_slice(&counts));
    packed.put(layout.sums.start, bytemuck::cast_slice(&sums));

    let mut groups = vec![0u64; buckets.div_ceil(GROUP) as usize];
    for (bucket, _) in &kept {
        if let Some(group) = groups.get_mut((bucket / GROUP) as usize) {
            *group |= 1 << (bucket % GROUP);
        }
    }
    let mut before = 0u64;
    for group in &mut groups {
        let own = u64::from(group.count_ones());
        *group |= before << GROUP;
        before += own;
    }
    packed.put(layout.groups.start, bytemuck::cast_slice(&groups));
    let mut row_of_bucket = vec![0.0; dimension];
    for (at, (_, row)) in kept.iter().enumerate() {
        row_of_bucket.fill(0.0);
        model.input.add_row(*row, &mut row_of_bucket);
        packed.put(layout.rows.start + at * dimension * 4, bytemuck::cast_slice(&row_of_bucket));
    }
    packed.put(layout.output.start, bytemuck::cast_slice(&model.output.weights));
    packed.put(layout.tree.start, bytemuck::cast_slice(&model.output.tree));
    Ok(packed.bytes)
}

struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    fn put(&mut self, at: usize, part: &[u8]) {
        if let Some(to) = self.bytes.get_mut(at..at + part.len()) {
            to.copy_from_slice(part);
        }
    }
}
