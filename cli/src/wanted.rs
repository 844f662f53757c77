//! Which messages are delivered: `--tag` and `--where`.

use plasmite_core::{Error, Message};

use crate::expression::Expression;
use crate::output;

/// The choice among messages.
pub(crate) struct Wanted {
    tags: Vec<String>,
    expression: Option<Expression>,
    /// It was told that the expression could not be applied to a message.
    told: bool,
}

impl Wanted {
    /// Messages with all of these tags for which all expressions hold.
    pub(crate) fn new(tags: &[String], expressions: &[String]) -> Result<Self, Error> {
        let expression = Expression::compile_all(expressions)?;
        Ok(Self { tags: tags.to_owned(), expression, told: false })
    }

    /// True when every message is wanted.
    pub(crate) fn is_everything(&self) -> bool {
        self.tags.is_empty() && self.expression.is_none()
    }

    /// True when this message is wanted. One to which the expression can't be applied is not, which is told once.
    pub(crate) fn accepts(&mut self, message: &Message) -> bool {
        if !message.has_tags(&self.tags) {
            return false;
        }
        let Some(expression) = &mut self.expression else { return true };
        expression.accepts(message).unwrap_or_else(|why| {
            if !std::mem::replace(&mut self.told, true) {
                let seq = message.seq();
                let text = format!(
                    "messages to which --where can't be applied are left out, the first is {seq}: {why}"
                );
                output::notice("NotApplicable", &text, &[("seq", seq.get())]);
            }
            false
        })
    }
}
