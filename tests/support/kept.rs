//! What an answer says that it said before: later versions may say more, and nothing else.

use serde_json::{Value, json};

/// What is in `after` though it is not what was there `before`; fields that came since do not matter.
pub fn lost(before: &Value, after: &Value, place: &str) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .flat_map(|(name, value)| {
                lost(value, after.get(name).unwrap_or(&json!("(nothing)")), &format!("{place}.{name}"))
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() && !place.ends_with(".warnings") => {
            let pairs = before.iter().zip(after).enumerate();
            pairs.flat_map(|(at, (before, after))| lost(before, after, &format!("{place}[{at}]"))).collect()
        }
        // Later versions warn of more.
        (Value::Array(before), Value::Array(after)) if place.ends_with(".warnings") => before
            .iter()
            .filter(|warning| !after.contains(warning))
            .map(|warning| format!("{place}: {warning}"))
            .collect(),
        (before, after) if before == after => Vec::new(),
        // Time goes by.
        (Value::Bool(false), Value::Bool(true)) if place.ends_with(".overdue") => Vec::new(),
        (before, after) => vec![format!("{place} was {before}, is {after}")],
    }
}
