//! Times and amounts as people read them.

use std::time::Duration;

/// Returns a time in its two largest units at most.
pub(super) fn time(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let place = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let (unit, name) = UNITS[place];
    let rest = UNITS.get(place + 1).map(|(next, name)| ((seconds % unit) / next, name));
    match rest {
        Some((count, next)) if count > 0 && seconds < 10 * unit => format!("{} {name} {count} {next}", seconds / unit),
        Some(_) | None => format!("{} {name}", seconds / unit),
    }
}

/// Returns a number of bytes with three digits.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{count} B"),
        (_, value) if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        (_, value) => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Returns a round-trip time in milliseconds, with two digits at least.
pub(super) fn round_trip(milliseconds: Option<f64>) -> String {
    match milliseconds {
        Some(ms) if ms < 10.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
        None => "-".to_owned(),
    }
}

/// Returns a moment, in milliseconds since 1970, by the clock on the wall here.
pub(super) fn moment(milliseconds: u64) -> String {
    let since = Duration::from_millis(milliseconds);
    let moment = jiff::Timestamp::try_from(std::time::UNIX_EPOCH + since).unwrap_or_default();
    let zoned = moment.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_units_at_most() {
        let told = [0, 5, 60, 95, 600, 3599, 3600, 7325, 36_060, 90_000, 10_000_000].map(time);
        let expected = [
            "0 s",
            "5 s",
            "1 min",
            "1 min 35 s",
            "10 min",
            "59 min",
            "1 h",
            "2 h 2 min",
            "10 h",
            "1 d 1 h",
            "115 d",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn bytes_have_three_digits_at_most() {
        let told = [0, 999, 1000, 1536, 10_240, 1_048_064, u64::MAX].map(bytes);
        assert_eq!(
            told,
            ["0 B", "999 B", "1.0 KiB", "1.5 KiB", "10 KiB", "1.0 MiB", "16384 PiB"]
        );
    }
}
