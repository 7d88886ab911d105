//! Strict reading of one TOML table: every key is asked for by name, and what nobody asked for is a mistake.

use core::ops::Range;
use std::borrow::Cow;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostic::Findings;

/// A key, and how a line with it looks, for the remedies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

impl Key {
    pub(super) const fn new(name: &'static str, example: &'static str) -> Self {
        Self { name, example }
    }
}

/// Where a key that is unknown in one place belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    /// The top of the file.
    Top,
    /// The table of this name.
    Table(&'static str),
    /// The top of the file that includes this one.
    Including,
}

/// A TOML table being read.
pub(super) struct Section<'s> {
    findings: &'s Rc<Findings>,
    /// Path to the table with a dot at its end; empty for the whole file.
    prefix: String,
    /// The header, `[tun]`; an empty span at the start for the whole file.
    header: Range<usize>,
    table: &'s DeTable<'s>,
    known: Vec<&'static str>,
}

/// A value with its place.
#[derive(Clone)]
pub(super) struct Item<'s> {
    pub(super) findings: &'s Rc<Findings>,
    pub(super) key: String,
    pub(super) span: Range<usize>,
    example: &'static str,
    value: &'s DeValue<'s>,
}

impl<'s> Section<'s> {
    /// The whole file.
    pub(super) fn root(findings: &'s Rc<Findings>, table: &'s DeTable<'s>) -> Self {
        Self {
            findings,
            prefix: String::new(),
            header: 0..0,
            table,
            known: Vec::new(),
        }
    }

    /// Where the table's header is.
    pub(super) fn header(&self) -> Range<usize> {
        self.header.clone()
    }

    pub(super) fn findings(&self) -> &'s Rc<Findings> {
        self.findings
    }

    /// Path to a key of this table.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn optional(&mut self, key: Key) -> Option<Item<'s>> {
        self.known.push(key.name);
        let value = self.table.get(key.name)?;
        Some(Item {
            findings: self.findings,
            key: self.path(key.name),
            span: value.span(),
            example: key.example,
            value: value.get_ref(),
        })
    }

    pub(super) fn required(&mut self, key: Key) -> Option<Item<'s>> {
        let item = self.optional(key);
        if item.is_none() {
            self.missing(key.name, format!("add `{}`", key.example));
        }
        item
    }

    /// A table of its own; `None` where it is absent or something else.
    pub(super) fn section(&mut self, key: Key) -> Option<Self> {
        self.optional(key)?.section()
    }

    pub(super) fn missing(&self, name: &str, remedy: impl Into<String>) {
        self.findings
            .error(&self.path(name), self.header.clone(), "missing key", remedy);
    }

    /// Reports what nobody asked for. `home` knows which table a misplaced key belongs to.
    pub(super) fn finish(self, home: fn(&str) -> Option<Home>) {
        for name in self.table.keys() {
            if self.known.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let remedy = self.remedy_for_unknown(name, home);
            self.findings.error(
                &self.path(name.get_ref()),
                name.span(),
                "unknown key",
                remedy,
            );
        }
    }

    fn remedy_for_unknown(
        &self,
        name: &Spanned<Cow<'_, str>>,
        home: fn(&str) -> Option<Home>,
    ) -> String {
        let name = name.get_ref();
        if let Some(nearest) = nearest(name, &self.known) {
            return format!("did you mean `{nearest}`?");
        }
        match home(name) {
            Some(Home::Top) => format!(
                "`{name}` belongs to the top of the file: move it above the first [section]"
            ),
            Some(Home::Table(table)) => format!("move `{name}` below {table}"),
            Some(Home::Including) => {
                format!("move `{name}` to the file that includes this one: here are branches only")
            }
            None => format!("remove it; the keys here are {}", self.known.join(", ")),
        }
    }
}

impl<'s> Item<'s> {
    /// Reports that the value is wrong.
    pub(super) fn error(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.findings
            .error(&self.key, self.span.clone(), message, remedy);
    }

    pub(super) fn warning(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.findings
            .warning(&self.key, self.span.clone(), message, remedy);
    }

    /// How a line with this key looks.
    pub(super) fn write_it_as(&self) -> String {
        format!("write it as `{}`", self.example)
    }

    pub(super) fn string(&self) -> Option<&'s str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            other => self.mismatch("a string", other),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            other => self.mismatch("true or false", other),
        }
    }

    /// An integer within `range`.
    pub(super) fn integer<T>(&self, range: core::ops::RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u32> + PartialOrd + core::fmt::Display,
    {
        let DeValue::Integer(integer) = self.value else {
            return self.mismatch("an integer", self.value);
        };
        let value = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = value.and_then(|value| T::try_from(value).ok());
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let (low, high) = (range.start(), range.end());
            self.error(
                format!("{integer} is not within {low} to {high}"),
                self.write_it_as(),
            );
        }
        value
    }

    /// The elements of an array; what is no array is its own only element.
    pub(super) fn one_or_more(&self) -> Vec<Self> {
        match self.value {
            DeValue::Array(_) => self.elements().unwrap_or_default(),
            _ => vec![self.clone()],
        }
    }

    /// The elements of an array.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        let array = self.array()?;
        let element = |(index, value): (usize, &'s Spanned<DeValue<'s>>)| Self {
            findings: self.findings,
            key: format!("{}[{index}]", self.key),
            span: value.span(),
            example: self.example,
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    pub(super) fn section(self) -> Option<Section<'s>> {
        let DeValue::Table(table) = self.value else {
            return self.mismatch("a table", self.value);
        };
        let prefix = format!("{}.", self.key);
        Some(Section {
            findings: self.findings,
            prefix,
            header: self.span,
            table,
            known: Vec::new(),
        })
    }

    fn array(&self) -> Option<&'s DeArray<'s>> {
        match self.value {
            DeValue::Array(array) => Some(array),
            other => self.mismatch("an array", other),
        }
    }

    fn mismatch<T>(&self, expected: &str, found: &DeValue<'_>) -> Option<T> {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(
            format!("expected {expected}, found {found}"),
            self.write_it_as(),
        );
        None
    }
}

/// The candidate that `word` is most likely a slip of the pen for.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(word, candidate);
    let best = candidates
        .iter()
        .copied()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (0.6 <= likeness(best)).then_some(best)
}
