//! Observations are dealt to the splits.

use std::collections::{BTreeMap, HashMap};

use mesh_core::{
    Digest,
    manifest::{Split, SplitMethod},
};
use mesh_dataset::SplitName;

use super::record::Record;
use crate::{rank::Shares, sort::number};

/// The split of each record: the one that the source gives, else by its place in the order of
/// times, or of seeded hashes of groups or of what records say. Records of one time, or of one
/// group, are never parted; those that say the same are, as any others.
pub(super) fn deal(records: &[Record], options: &Split) -> Vec<SplitName> {
    let gives = |split| records.iter().any(|record| record.split == Some(split));
    let open = |share: f64, split| if gives(split) { 0.0 } else { share };
    let validation = open(options.validation, SplitName::Validation);
    let test = open(options.test, SplitName::Test);
    let shares = Shares::new(options.train, validation, test);
    let mut copies: HashMap<Digest, u32> = HashMap::new();
    let hash = |text: &str| {
        let seeded = format!("{} {text}", options.seed);
        number(Digest::of(seeded.as_bytes()).as_bytes(), 0)
    };
    // Where it stands; nothing for records that stay where the source puts them.
    let mut order = |record: &Record| {
        let dealt = record.split.is_none_or(|split| split == SplitName::Train);
        let stays = !dealt || (record.split.is_some() && shares.are_all_train());
        (!stays).then(|| match (options.method, &record.group) {
            (SplitMethod::ByTime, _) => record.time,
            (SplitMethod::Grouped, Some(group)) => hash(group),
            _ => {
                let digest = record.digest();
                let copy = copies.entry(digest).or_default();
                *copy += 1;
                hash(&format!("{digest} {copy}"))
            }
        })
    };
    let orders: Vec<Option<u64>> = records.iter().map(&mut order).collect();
    let mut before: BTreeMap<u64, u128> = BTreeMap::new();
    for order in orders.iter().flatten() {
        *before.entry(*order).or_default() += 1;
    }
    let mut total = 0;
    for count in before.values_mut() {
        let found = std::mem::replace(count, total);
        total += found;
    }
    let split = |(record, order): (&Record, &Option<u64>)| match (order, record.split) {
        (None, given) => given.unwrap_or(SplitName::Train),
        (Some(order), _) => shares.cut(before.get(order).copied().unwrap_or(0), total),
    };
    records.iter().zip(&orders).map(split).collect()
}
