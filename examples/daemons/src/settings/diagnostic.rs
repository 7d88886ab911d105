//! What is wrong with a settings file: where, which key, and what to do about it.

use core::fmt;
use core::ops::Range;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Whether a finding stops the daemon from starting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted, but a person should know.
    Warning,
}

/// One finding in a settings file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The settings file.
    pub file: PathBuf,
    /// Line within the file, from 1.
    pub line: usize,
    /// Column within the line in characters, from 1.
    pub column: usize,
    /// The key with the path to it, as `branch[0].pair[1].local`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    span: Range<usize>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            key,
            message,
            remedy,
            ..
        } = self;
        write!(
            f,
            "{}:{line}:{column}: {key}: {message}; {remedy}",
            self.file.display()
        )
    }
}

/// Collects every finding of one file, so that all of them are reported at once.
#[derive(Debug)]
pub(super) struct Findings {
    file: PathBuf,
    text: String,
    list: RefCell<Vec<Diagnostic>>,
}

impl Findings {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            list: RefCell::default(),
        }
    }

    pub(super) fn error(
        &self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, key, span, message.into(), remedy.into());
    }

    pub(super) fn warning(
        &self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, key, span, message.into(), remedy.into());
    }

    /// The line, from 1, on which the octet at `offset` lies.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.position(offset).0
    }

    pub(super) fn into_report(self) -> Report {
        let text = without_keys(&self.text);
        let mut diagnostics = self.list.into_inner();
        diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.key.clone()));
        Report { text, diagnostics }
    }

    fn add(
        &self,
        severity: Severity,
        key: &str,
        span: Range<usize>,
        message: String,
        remedy: String,
    ) {
        let (line, column) = self.position(span.start);
        let (file, key) = (self.file.clone(), key.to_owned());
        self.list.borrow_mut().push(Diagnostic {
            severity,
            file,
            line,
            column,
            key,
            message,
            remedy,
            span,
        });
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before
            .get(line_start..)
            .map_or(0, |line| line.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }
}

/// The text with every pre-shared key in it masked, at unchanged offsets: lines of it are shown.
fn without_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let key = line.match_indices("psk").find_map(|(at, word)| {
            let (before, after) = (line.get(..at)?, line.get(at + word.len()..)?);
            let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
            let equals = after
                .trim_start()
                .starts_with(['=', '"', '\''])
                .then(|| after.find('='))??;
            whole.then_some(at + word.len() + equals + 1)
        });
        let (shown, secret) = line.split_at(key.unwrap_or(line.len()));
        masked.push_str(shown);
        for c in secret.chars() {
            match c {
                ' ' | '"' | '\'' | '\n' | '\r' | '}' => masked.push(c),
                other => masked.extend(core::iter::repeat_n('*', other.len_utf8())),
            }
        }
    }
    masked
}

/// Every finding of one settings file, in the order of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    text: String,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// The findings, in the order of the file.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether the file is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The findings with the lines of the file they point at, in colour for a terminal.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&renderer.render(&[self.group(diagnostic)]));
            out.push_str("\n\n");
        }
        out
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> annotate_snippets::Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        level
            .primary_title(format!("{}: {}", diagnostic.key, diagnostic.message))
            .element(
                Snippet::source(self.text.as_str())
                    .path(diagnostic.file.display().to_string())
                    .annotation(AnnotationKind::Primary.span(diagnostic.span.clone())),
            )
            .element(Level::HELP.message(diagnostic.remedy.as_str()))
    }
}
