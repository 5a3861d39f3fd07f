//! The order in which hosts of a service are tried (RFC 2782).

use super::dns_answer::ServiceRecord;

/// Orders the records: by priority, and within a priority by chance, in proportion to the weights. `roll(n)` is a random number
/// from 0 to `n`, both included.
pub(crate) fn in_order(mut records: Vec<ServiceRecord>, mut roll: impl FnMut(u32) -> u32) -> Vec<ServiceRecord> {
    // Those with weight 0 come first, so that each keeps a small chance among others.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equals = records.iter().take_while(|record| record.priority == priority).count();
        let total = records[..equals].iter().map(|record| u32::from(record.weight)).sum();
        let drawn = roll(total);
        let mut sum = 0;
        let place = records[..equals].iter().position(|record| {
            sum += u32::from(record.weight);
            sum >= drawn
        });
        ordered.push(records.remove(place.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> ServiceRecord {
        ServiceRecord { priority, weight, port: 9880, target: target.to_owned() }
    }

    fn targets(records: &[ServiceRecord]) -> Vec<&str> {
        records.iter().map(|record| record.target.as_str()).collect()
    }

    #[test]
    fn lower_priority_number_comes_first() {
        let records = vec![record(20, 100, "c"), record(10, 0, "a"), record(15, 0, "b")];
        assert_eq!(targets(&in_order(records, |most| most)), ["a", "b", "c"]);
        assert_eq!(in_order(Vec::new(), |most| most), []);
    }

    #[test]
    fn weight_decides_the_share() {
        let records = || vec![record(1, 10, "a"), record(1, 0, "zero"), record(1, 30, "b")];
        assert_eq!(targets(&in_order(records(), |_| 0)), ["zero", "a", "b"]);
        assert_eq!(targets(&in_order(records(), |most| most)), ["b", "a", "zero"]);
        let mut random = fastrand::Rng::with_seed(7);
        let mut first = [0; 2];
        for _ in 0..4_000 {
            let ordered = in_order(vec![record(1, 10, "a"), record(1, 30, "b")], |most| random.u32(0..=most));
            first[usize::from(ordered[0].target == "b")] += 1;
        }
        // 11 of 41 draws choose "a".
        assert!((950..1_200).contains(&first[0]), "{first:?}");
    }
}
