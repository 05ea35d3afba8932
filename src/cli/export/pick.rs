//! The one text of an export that holds the codes of one account.

use zeroize::Zeroizing;

use super::{Export, Form, Item, Picked, Refusal, Text, names_codes};

impl Export {
    /// The text of the item called `item` (its name, its folder and name, or its id) in the fields called `field`. Without
    /// `item` it is the only one, or the only one whose fields name codes; without `field` these fields, else the notes.
    pub fn pick(&self, item: Option<&str>, field: Option<&str>) -> Result<Picked, Refusal> {
        let (number, item) = match item {
            Some(name) => self.named(name)?,
            None => self.only()?,
        };
        let place = format!("item {} of {}", number + 1, self.format);
        let (texts, which) = chosen(item, field, &place)?;
        if let [Text { form: Form::Whole, value, .. }] = texts.as_slice() {
            return Ok(Picked { text: value.clone(), whole: true, place });
        }
        let size = texts.iter().map(|text| text.value.len() + 1).sum();
        let mut joined = Zeroizing::new(String::with_capacity(size));
        for text in texts {
            if !joined.is_empty() {
                joined.push('\n');
            }
            match text.form {
                Form::Lines | Form::Whole => joined.push_str(&text.value),
                Form::Field => joined.extend(text.value.chars().map(|c| if matches!(c, ',' | ';') { '\n' } else { c })),
            }
        }
        Ok(Picked { text: joined, whole: false, place: format!("{place}, {which}") })
    }

    fn named(&self, name: &str) -> Result<(usize, &Item), Refusal> {
        let called = |item: &Item| {
            item.name == name
                || (!item.id.is_empty() && item.id == name)
                || (!item.folder.is_empty()
                    && name.strip_prefix(&item.folder).and_then(|rest| rest.strip_prefix('/')) == Some(&item.name))
        };
        let found: Vec<(usize, &Item)> = self.items.iter().enumerate().filter(|(_, item)| called(item)).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Refusal::new(format!(
                "{} has no item called \"{name}\" among its {}. Capitals and spaces count; FOLDER/NAME and the id do, too",
                self.format,
                self.items.len()
            ))),
            several => Err(Refusal::new(format!(
                "{} items of {} are called \"{name}\" (items {}). Name the folder, too (FOLDER/NAME), or the id",
                several.len(),
                self.format,
                numbers(several)
            ))),
        }
    }

    fn only(&self) -> Result<(usize, &Item), Refusal> {
        if let [item] = self.items.as_slice() {
            return Ok((0, item));
        }
        let with = |item: &Item| item.texts.iter().any(|text| names_codes(&text.label) && !text.value.is_empty());
        let found: Vec<(usize, &Item)> = self.items.iter().enumerate().filter(|(_, item)| with(item)).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Refusal::new(format!(
                "{} of {} items, none with a field that is called recovery or backup codes. Say which with --item NAME",
                self.format,
                self.items.len()
            ))),
            several => Err(Refusal::new(format!(
                "{} of {} items; {} of them have a field that is called recovery or backup codes (items {}). Say which with --item \
                 NAME, or map each to its account with --map",
                self.format,
                self.items.len(),
                several.len(),
                numbers(several)
            ))),
        }
    }
}

/// The texts of `item` that hold its codes, and what they are called in sentences.
fn chosen<'a>(item: &'a Item, field: Option<&str>, place: &str) -> Result<(Vec<&'a Text>, String), Refusal> {
    let filled = |which: &dyn Fn(&Text) -> bool| -> Vec<&'a Text> {
        item.texts.iter().filter(|text| which(text) && !text.value.trim().is_empty()).collect()
    };
    if let Some(name) = field {
        let found = filled(&|text| text.label.eq_ignore_ascii_case(name) || text.label.split('/').next() == Some(name));
        if found.is_empty() {
            return Err(Refusal::new(format!("{place} has no field called \"{name}\", or nothing stands in it")));
        }
        return Ok((found, format!("field \"{name}\"")));
    }
    let called = filled(&|text| names_codes(&text.label));
    if !called.is_empty() {
        let which = if called.len() == 1 { "a field".to_owned() } else { format!("{} fields", called.len()) };
        return Ok((called, format!("{which} called recovery or backup codes")));
    }
    let notes = filled(&|text| text.label == "notes");
    if notes.is_empty() {
        return Err(Refusal::new(format!(
            "{place} has no notes, and no field that is called recovery or backup codes. Say which field with --field NAME"
        )));
    }
    Ok((notes, "its notes".to_owned()))
}

/// The first places of `found`, from 1.
fn numbers(found: &[(usize, &Item)]) -> String {
    let shown: Vec<String> = found.iter().take(10).map(|(place, _)| (place + 1).to_string()).collect();
    if found.len() > shown.len() { format!("{} …", shown.join(", ")) } else { shown.join(", ") }
}
