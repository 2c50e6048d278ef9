use clap::Parser;

#[derive(Parser)]
struct Options {
    #[arg(default_value_t = 10)]
    count: usize,
}

fn main() {
    let text = bench::as_text(&bench::records(Options::parse().count));
    println!("{} {}", bench::names_in(&text), bench::functions_in("fn main() {}"));
    println!("{} {}", bench::reached(9), bench::summed());
}
