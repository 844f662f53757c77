//! What is typed to choose messages: tags, each behind a `#`, then an expression of the jq language.

/// `#note #urgent .data.n > 3`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) tags: Vec<String>,
    pub(crate) expression: Option<String>,
}

impl Filter {
    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text.trim();
        let mut tags = Vec::new();
        while let Some(after) = rest.strip_prefix('#') {
            let (tag, then) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            tags.push(tag.to_owned());
            rest = then.trim_start();
        }
        Self { tags, expression: (!rest.is_empty()).then(|| rest.to_owned()) }
    }

    /// The options of `plasmite follow` for it.
    pub(crate) fn options(&self) -> Vec<String> {
        let tags = self.tags.iter().map(|tag| format!("--tag={tag}"));
        tags.chain(self.expression.iter().map(|code| format!("--where={code}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_first_and_what_follows_is_jq() {
        let options = |text| Filter::parse(text).options();
        assert_eq!(options("  "), [""; 0]);
        assert_eq!(options("#note"), ["--tag=note"]);
        assert_eq!(options(" #a  #-b "), ["--tag=a", "--tag=-b"]);
        assert_eq!(options("#a .data.n > 3 "), ["--tag=a", "--where=.data.n > 3"]);
        assert_eq!(options("-1 # jq's own"), ["--where=-1 # jq's own"]);
        assert_eq!(options("#"), ["--tag="], "the error is told by who knows the rules");
    }
}
