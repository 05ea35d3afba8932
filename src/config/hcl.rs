//! HCL 2 into the tree: plain values only, no expressions.

use hcl::edit::Span;
use hcl::edit::expr::{Expression, ObjectKey};
use hcl::edit::parser::parse_body;
use hcl::edit::structure::{Body, Structure};

use super::ConfigError;
use super::tree::{Map, NO_TEMPLATES, Node, Value, line_at};

/// Reads a whole file.
pub(super) fn parse(file: &str, text: &str) -> Result<Map, ConfigError> {
    let body = parse_body(text).map_err(|error| {
        // Not the line itself: it may hold what should not be repeated.
        ConfigError::new(file, error.location().line(), "", format_args!("HCL: {}", error.message()))
    })?;
    Reader { file, text }.body(&body, "", 1)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    /// `above` is the line that counts where the parser gives no place.
    fn body(&self, body: &Body, path: &str, above: usize) -> Result<Map, ConfigError> {
        let mut map = Map::default();
        for structure in body.iter() {
            match structure {
                Structure::Attribute(attribute) => {
                    let key = attribute.key.as_str();
                    let line = self.line(attribute.key.span().or(attribute.value.span()), above);
                    let value = self.value(&attribute.value, &join(path, key), line)?;
                    map.entries.push((key.to_owned(), Node { line, value }));
                }
                Structure::Block(block) => {
                    let line = self.line(block.ident.span(), above);
                    let labels: Vec<&str> = block.labels.iter().map(|label| label.as_str()).collect();
                    let path = labels.iter().fold(join(path, block.ident.as_str()), |path, label| join(&path, label));
                    let mut inner = self.body(&block.body, &path, line)?;
                    inner.labels = Some(labels.len());
                    for label in labels.iter().rev() {
                        let node = Node { line, value: Value::Map(inner) };
                        inner = Map { entries: vec![((*label).to_owned(), node)], labels: Some(labels.len()) };
                    }
                    map.entries.push((block.ident.as_str().to_owned(), Node { line, value: Value::Map(inner) }));
                }
            }
        }
        Ok(map)
    }

    fn value(&self, expression: &Expression, path: &str, line: usize) -> Result<Value, ConfigError> {
        let refuse = |what: &str| Err(ConfigError::new(self.file, line, path, what));
        Ok(match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(*value.value()),
            Expression::Number(value) => Value::Number(value.value().to_string()),
            Expression::String(value) => Value::Text(value.value().clone()),
            Expression::Array(items) => {
                let item = |item: &Expression| {
                    let line = self.line(item.span(), line);
                    Ok(Node { line, value: self.value(item, path, line)? })
                };
                Value::List(items.iter().map(item).collect::<Result<_, _>>()?)
            }
            Expression::Object(object) => {
                let mut map = Map::default();
                for (key, value) in object.iter() {
                    let name = match key {
                        ObjectKey::Ident(name) => name.as_str(),
                        ObjectKey::Expression(Expression::Variable(name)) => name.as_str(),
                        ObjectKey::Expression(Expression::String(name)) => name.as_str(),
                        ObjectKey::Expression(_) => return refuse("keys must be plain words or text in quotes"),
                    };
                    let line = self.line(value.expr().span(), line);
                    map.entries.push((
                        name.to_owned(),
                        Node { line, value: self.value(value.expr(), &join(path, name), line)? },
                    ));
                }
                Value::Map(map)
            }
            Expression::Parenthesis(inner) => self.value(inner.inner(), path, line)?,
            Expression::StringTemplate(_) => return refuse(NO_TEMPLATES),
            Expression::HeredocTemplate(_) => {
                return refuse("here-documents are not supported: put the text in quotes");
            }
            Expression::Variable(word) => return refuse(&format!("text must stand in quotes: \"{}\"", word.as_str())),
            Expression::UnaryOp(_) => return refuse("negative numbers and negations have no meaning here"),
            Expression::FuncCall(_)
            | Expression::Traversal(_)
            | Expression::Conditional(_)
            | Expression::BinaryOp(_)
            | Expression::ForExpr(_) => {
                return refuse("expressions are not supported: write the value out, text in quotes");
            }
        })
    }

    fn line(&self, span: Option<std::ops::Range<usize>>, above: usize) -> usize {
        span.map_or(above, |span| line_at(self.text, span.start))
    }
}

/// `path.name`; a label or name that is no plain word stands in quotes.
pub(super) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let name = if plain { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
