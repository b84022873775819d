//! stub
pub(super) fn render(_: &super::Explanation) -> String {
    String::new()
}
