//! The parameters in the paths of an API.

use serde_json::{Value, json};

/// A parameter in paths. It means the same wherever its name stands in a path of the API.
#[derive(Debug, Clone, Copy)]
pub struct PathParameter {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub description: &'static str,
    /// A value of it.
    pub example: &'static str,
    /// Pattern of its values; empty: any text.
    pub pattern: &'static str,
}

/// Returns the names in the braces of a path.
pub fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

impl PathParameter {
    /// Returns its entry in the list of an operation's parameters.
    pub(super) fn entry(&self) -> Value {
        let mut schema = json!({ "type": "string", "minLength": 1 });
        if !self.pattern.is_empty() {
            schema["pattern"] = self.pattern.into();
        }
        json!({
            "name": self.name,
            "in": "path",
            "required": true,
            "description": self.description,
            "schema": schema,
            "example": self.example,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_braces() {
        assert_eq!(names_in("/a/{b}/c/{d}").collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(names_in("/a").count(), 0);
    }
}
