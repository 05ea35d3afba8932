//! Texts of strangers and times, as people read them.

use serde_json::Value;

use crate::domain::time::Timestamp;

/// A text that steers neither terminal nor reader: no control characters, none that turn the direction of writing or are not seen.
pub fn clean(text: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The text of a member, cleaned; empty if there is none.
pub fn of(value: &Value) -> String {
    clean(value.as_str().unwrap_or_default())
}

/// `2026-07-01 12:00` of the time on the wire, UTC.
pub fn when(value: &Value) -> String {
    let text = of(value);
    match text.get(..16) {
        Some(minute) if text.ends_with('Z') => minute.replace('T', " "),
        _ => text,
    }
}

/// `2026-07-01` of the time on the wire, UTC.
pub fn day(value: &Value) -> String {
    when(value).split(' ').next().unwrap_or_default().to_owned()
}

/// How far the time on the wire is from `now`, in words: `in 23 hours`, `12 days ago`; nothing if one of them is no time.
pub fn distance(value: &Value, now: Option<Timestamp>) -> String {
    match (Timestamp::parse(&of(value)), now) {
        (Some(at), Some(now)) if at > now => format!("in {}", span(at.since(now).as_secs())),
        (Some(at), Some(now)) => format!("{} ago", span(now.since(at).as_secs())),
        _ => String::new(),
    }
}

/// `1 account`, `2 accounts`.
pub fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// A span as people say it.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=3599 => counted((seconds / 60).max(1), "minute"),
        3600..=172_799 => counted(seconds / 3600, "hour"),
        _ => counted(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_strangers_steer_nothing() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d\u{200b}é漢"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}é漢");
        assert_eq!(when(&json!("2026-07-01T12:03:04.000Z")), "2026-07-01 12:03");
        assert_eq!((when(&json!("soon")), day(&json!(null))), ("soon".to_owned(), String::new()));
        let now = Timestamp::parse("2026-07-01T12:00:00Z");
        assert_eq!(distance(&json!("2026-07-02T11:59:00.000Z"), now), "in 23 hours");
        assert_eq!(distance(&json!("2026-06-19T12:00:00.000Z"), now), "12 days ago");
        assert_eq!(distance(&json!("soon"), now), "");
        assert_eq!(
            [59, 3599, 3600, 86_400, 3 * 86_400].map(span),
            ["1 minute", "59 minutes", "1 hour", "24 hours", "3 days"]
        );
    }
}
