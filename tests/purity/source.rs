//! Reads Rust source as far as the check needs: imports, paths, and what is for tests only.

use super::DENIED_MACROS;

/// What a source file names.
#[derive(Default)]
pub struct Source {
    /// Each import: its path, and the name it has in this file.
    pub uses: Vec<(String, String)>,
    /// Each path of at least two names that stands in the code.
    pub paths: Vec<String>,
    /// What is never allowed.
    pub forbidden: Vec<String>,
    /// Modules in files of their own that are compiled for tests only.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Reads one file.
    pub fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let mut source = Source::default();
        let mut at = 0;
        while at < tokens.len() {
            let is = |offset: usize, what: &str| tokens.get(at + offset).is_some_and(|token| token == what);
            if ["#", "[", "cfg", "(", "test", ")", "]"].iter().enumerate().all(|(offset, what)| is(offset, what)) {
                at = source.skip_item(&tokens, at + 7);
            } else if is(0, "use") && !is(1, "<") {
                at = source.import(&tokens, at + 1, &mut Vec::new());
            } else if is(0, "extern") && is(1, "crate") {
                source.forbidden.push("extern crate".to_owned());
                at += 2;
            } else if is(0, "#") && is(1, "[") && is(2, "path") {
                source.forbidden.push("#[path]".to_owned());
                at += 3;
            } else if is(1, "!") && DENIED_MACROS.contains(&tokens[at].as_str()) {
                source.forbidden.push(format!("{}!", tokens[at]));
                at += 2;
            } else if name(&tokens[at]) {
                let mut path = vec![tokens[at].as_str()];
                at += 1;
                while tokens.get(at).is_some_and(|token| token == "::")
                    && tokens.get(at + 1).is_some_and(|token| name(token))
                {
                    path.push(&tokens[at + 1]);
                    at += 2;
                }
                if path.len() > 1 {
                    source.paths.push(path.join("::"));
                }
            } else {
                at += 1;
            }
        }
        source
    }

    /// Skips one item that is compiled for tests only.
    fn skip_item(&mut self, tokens: &[String], from: usize) -> usize {
        let Some(end) = (from..tokens.len()).find(|at| tokens[*at] == "{" || tokens[*at] == ";") else {
            return tokens.len();
        };
        if tokens[end] == ";" {
            if let Some(at) = (from..end).find(|at| tokens[*at] == "mod") {
                self.test_modules.push(tokens[at + 1].clone());
            }
            return end + 1;
        }
        let mut depth = 0;
        for (at, token) in tokens.iter().enumerate().skip(end) {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        tokens.len()
    }

    /// Reads one branch of a `use` tree under `prefix` and returns where it ends.
    fn import(&mut self, tokens: &[String], mut at: usize, prefix: &mut Vec<String>) -> usize {
        let depth = prefix.len();
        let mut alias = None;
        let mut group = false;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => {
                    group = true;
                    at += 1;
                    while at < tokens.len() && tokens[at] != "}" {
                        at = self.import(tokens, at, prefix);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                }
                "as" => {
                    alias = tokens.get(at + 1).cloned();
                    at += 1;
                }
                "," | ";" | "}" => break,
                "::" => {}
                "self" if depth > 0 => {}
                name => prefix.push(name.to_owned()),
            }
            at += 1;
        }
        if !group && let Some(last) = prefix.last() {
            self.uses.push((prefix.join("::"), alias.unwrap_or_else(|| last.clone())));
        }
        prefix.truncate(depth);
        at
    }
}

fn name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The tokens of Rust source, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < text.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => i = (i..text.len()).find(|i| at(*i) == '\n').unwrap_or(text.len()),
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= text.len() {
                        break;
                    }
                }
            }
            'b' if at(i + 1) == 'r' && (at(i + 2) == '"' || at(i + 2) == '#') => i += 1,
            'r' if at(i + 1) == '"' || (at(i + 1) == '#' && (at(i + 2) == '"' || at(i + 2) == '#')) => {
                let hashes = (i + 1..text.len()).take_while(|i| at(*i) == '#').count();
                i += hashes + 2;
                while i < text.len() && !(at(i) == '"' && (1..=hashes).all(|offset| at(i + offset) == '#')) {
                    i += 1;
                }
                i += hashes + 1;
            }
            '"' => {
                i += 1;
                while i < text.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            '\'' if at(i + 1) == '\\' => i = (i + 3..text.len()).find(|i| at(*i) == '\'').unwrap_or(text.len()) + 1,
            '\'' if at(i + 2) == '\'' => i += 3,
            first if first.is_alphanumeric() || first == '_' => {
                let end = (i..text.len()).find(|i| !(at(*i).is_alphanumeric() || at(*i) == '_')).unwrap_or(text.len());
                tokens.push(text[i..end].iter().collect());
                i = end;
            }
            ':' if at(i + 1) == ':' => {
                tokens.push("::".to_owned());
                i += 2;
            }
            space if space.is_whitespace() => i += 1,
            other => {
                tokens.push(other.to_string());
                i += 1;
            }
        }
    }
    tokens
}
