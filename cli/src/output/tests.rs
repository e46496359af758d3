//! What people and programs see.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

#[derive(Clone, Default)]
struct Captured(Rc<RefCell<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("UTF-8")
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn captured(json: bool, color: ColorChoice) -> (Output, Captured, Captured) {
    let (stdout, stderr) = (Captured::default(), Captured::default());
    let output =
        Output::to_writers(Box::new(stdout.clone()), Box::new(stderr.clone()), json, color);
    (output, stdout, stderr)
}

#[test]
fn a_result_is_a_line_for_people_or_a_json_line_for_programs() {
    for (json, expected) in [(false, "a\n"), (true, "{\"path\":\"a\"}\n")] {
        let (mut output, stdout, _) = captured(json, ColorChoice::Never);
        output.result(|| json!({ "path": "a" }), |_| "a".to_owned()).expect("written");
        assert_eq!(stdout.text(), expected);
    }
}

#[test]
fn notes_are_kept_from_programs_and_from_standard_output() {
    let (mut output, stdout, stderr) = captured(true, ColorChoice::Never);
    output.note("by the way").expect("written");
    assert_eq!((stdout.text(), stderr.text()), (String::new(), String::new()));
    let (mut output, stdout, stderr) = captured(false, ColorChoice::Never);
    output.note("by the way").expect("written");
    assert_eq!((stdout.text(), stderr.text()), (String::new(), "by the way\n".to_owned()));
}

#[test]
fn a_failure_says_what_to_do_and_answers_its_exit_code() {
    let failure = Failure::new(Exit::NotFound, "no a.txt").advice("look elsewhere");
    let (mut output, _, stderr) = captured(false, ColorChoice::Auto);
    assert_eq!(output.finish(Err(failure.clone())), Exit::NotFound);
    assert_eq!(stderr.text(), "vdom: no a.txt\n  look elsewhere\n");
    let (mut output, _, stderr) = captured(true, ColorChoice::Auto);
    assert_eq!(output.finish(Err(failure)), Exit::NotFound);
    let record: Value = serde_json::from_str(&stderr.text()).expect("JSON");
    assert_eq!((&record["exit"], &record["error"]), (&json!(3), &json!("no a.txt")));
}

#[test]
fn colors_are_written_only_where_they_are_wanted() {
    for (color, colored) in [(ColorChoice::Auto, false), (ColorChoice::Always, true)] {
        let (mut output, stdout, _) = captured(false, color);
        output.result(|| json!(null), |painter| painter.paint(Tone::Good, "ok")).expect("written");
        assert_eq!(stdout.text().contains('\u{1b}'), colored);
    }
}
