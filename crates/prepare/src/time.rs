//! Times as numbers.

/// A time as a number that sorts like it: a number, or a date or time of ISO 8601 (its offset
/// from UTC is followed).
pub(crate) fn time_key(text: &str) -> Option<u64> {
    let text = text.trim();
    let value = match text.parse::<f64>() {
        Ok(value) if value.is_finite() => value,
        _ => seconds(text)?,
    };
    let bits = value.to_bits();
    // The usual trick: IEEE numbers sort like integers once negative ones are turned around.
    Some(if bits >> 63 == 0 { bits | (1 << 63) } else { !bits })
}

fn seconds(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', ' ', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year: i64 = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok().filter(|month| (1..=12).contains(month))?;
    let day: i64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    // Days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let era_year = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = era_year * 365 + era_year / 4 - era_year / 100 + day_of_year;
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    #[expect(clippy::cast_precision_loss, reason = "days of the calendar")]
    let mut seconds = days as f64 * 86_400.0;
    let Some(time) = time else { return Some(seconds) };
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, time.get(at..)?),
        None => (time, "Z"),
    };
    for (part, unit) in clock.split(':').zip([3600.0, 60.0, 1.0]) {
        seconds += part.parse::<f64>().ok().filter(|part| (0.0..61.0).contains(part))? * unit;
    }
    if let Some(sign) = offset.chars().next().filter(|sign| matches!(sign, '+' | '-')) {
        let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
        let hours: f64 = digits.get(..2)?.parse().ok()?;
        let minutes: f64 = digits.get(2..4).map_or(Some(0.0), |minutes| minutes.parse().ok())?;
        let away = hours * 3600.0 + minutes * 60.0;
        seconds -= if sign == '+' { away } else { -away };
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort() {
        let ascending = [
            "-3",
            "0",
            "2.5",
            "1969-12-31",
            "1970-01-02",
            "2023-12-31T23:59:59Z",
            "2024-01-01T01:00:00+00:30",
            "2024-01-01 00:45",
            "2024-02-29",
            "2024-03-01T00:00:00Z",
        ];
        // Numbers and dates are not meant to be mixed; both kinds sort among themselves.
        for pair in ascending[..3].windows(2).chain(ascending[3..].windows(2)) {
            assert!(time_key(pair[0]) < time_key(pair[1]), "{pair:?}");
        }
        assert_eq!(seconds("1970-01-02"), Some(86_400.0));
        for bad in ["", "yesterday", "2024-13-01", "2024-01-32", "2024-01-01Tnoon", "NaN"] {
            assert_eq!(time_key(bad), None, "{bad}");
        }
    }
}
