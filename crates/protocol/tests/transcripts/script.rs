//! A transcript as text: a sentence, the behaviours it covers, and steps.

use std::path::Path;

/// One conversation.
#[derive(Debug)]
pub(crate) struct Script {
    /// Its first comment line.
    pub(crate) title: String,
    /// Numbers of the behaviours that it covers.
    pub(crate) covers: Vec<u32>,
    pub(crate) steps: Vec<Step>,
}

/// One line, with where it stands.
#[derive(Debug)]
pub(crate) struct Step {
    /// `file:line`.
    pub(crate) place: String,
    pub(crate) text: String,
}

impl Script {
    /// The conversations of a file. Each begins with a comment after a line of dashes, or at the top.
    pub(crate) fn read_all(path: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(path).expect("a transcript can be read");
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(text.starts_with("# "), "{file} begins with a sentence about what it shows");
        let mut scripts: Vec<Self> = Vec::new();
        let mut fresh = true;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            let line = line.trim_end();
            if line.starts_with("---") {
                fresh = true;
            } else if let Some(comment) = line.strip_prefix('#') {
                if fresh {
                    scripts.push(Self {
                        title: format!("{place} {}", comment.trim()),
                        covers: vec![],
                        steps: vec![],
                    });
                    fresh = false;
                }
            } else if !line.is_empty() {
                let script = scripts.last_mut().filter(|_| !fresh);
                let script =
                    script.unwrap_or_else(|| panic!("{place}: a conversation begins with a comment"));
                script.add(place, line);
            }
        }
        scripts
    }

    fn add(&mut self, place: String, line: &str) {
        if let Some(numbers) = line.strip_prefix("covers ") {
            for part in numbers.split(',').map(str::trim) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let number = |text: &str| {
                    text.parse::<u32>().unwrap_or_else(|_| panic!("{place}: {text:?} is no number"))
                };
                self.covers.extend(number(first)..=number(last));
            }
        } else if line.starts_with(' ') {
            let step = self.steps.last_mut().unwrap_or_else(|| panic!("{place}: continues nothing"));
            step.text.push('\n');
            step.text.push_str(line.trim());
        } else {
            self.steps.push(Step { place, text: line.to_owned() });
        }
    }
}
