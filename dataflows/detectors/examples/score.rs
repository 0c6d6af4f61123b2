//! Scores a csv file, a row out for each row in.
//!
//! score FILE [--drop COLUMN]... [--key COLUMN] [--time COLUMN] [--seed N] [--kind KIND] [--cost N]
use std::error::Error;
use std::io::{BufWriter, Read, Write};
use detectors::{Combined, Detector, Options, Series};
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut file, mut drop, mut cost) = (String::new(), vec![], 0);
    let mut options = Options::default();
    let (mut key, mut time): (Option<String>, Option<String>) = (None, None);
    while let Some(a) = args.next() {
        match a.as_str() {
            "--drop" => drop.push(args.next().unwrap()),
            "--cost" => cost = args.next().unwrap().parse()?,
            "--seed" => options.seed = args.next().unwrap().parse()?,
            "--key" => key = args.next(),
            "--time" => time = args.next(),
            _ => file = a,
        }
    }
    let mut text = String::new();
    let f = std::fs::File::open(&file)?;
    if file.ends_with(".gz") { flate2::read::GzDecoder::new(f).read_to_string(&mut text)?; } else { std::io::BufReader::new(f).read_to_string(&mut text)?; }
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let keep: Vec<usize> = (0..head.len()).filter(|i| !drop.iter().any(|d| d == head[*i])).collect();
    let rows: Vec<Vec<f64>> = lines.map(|l| { let c: Vec<&str> = l.split(',').collect(); keep.iter().map(|i| c[*i].parse().unwrap_or(f64::NAN)).collect() }).collect();
    if cost > 0 {
        let mut t = vec![];
        for _ in 0..cost {
            let mut m = Combined::new(&options, keep.len());
            let start = std::time::Instant::now();
            for r in &rows { let a = m.assess(r, None); m.learn(r, None, &a); }
            t.push(start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64);
            if t.len() == cost { eprintln!("state {} bytes", m.state_bytes()); }
        }
        t.sort_by(f64::total_cmp);
        eprintln!("{:.3} us median, {:.3} min", t[cost / 2], t[0]);
        return Ok(());
    }
    if let Some(t) = time {
        let (ti, ki, vi) = (head.iter().position(|h| *h == t).unwrap(), key.map(|k| head.iter().position(|h| *h == k).unwrap()), head.iter().position(|h| *h == "value").unwrap());
        let mut out = BufWriter::new(std::io::stdout().lock());
        writeln!(out, "score,raw")?;
        let mut m = Series::new(&options); let mut last = String::new();
        for l in text.lines().skip(1) { let c: Vec<&str> = l.split(',').collect();
            if let Some(k) = ki { if c[k] != last { last = c[k].to_string(); m = Series::new(&options); } }
            let s = c[ti].split('.').next().unwrap().replace(' ', "T");
            let t: jiff::civil::DateTime = s.parse()?; let ns = i64::try_from(t.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_nanosecond())?;
            let r = [c[vi].parse()?]; let a = m.assess(&r, Some(ns)); m.learn(&r, Some(ns), &a);
            writeln!(out, "{},{}", a.score.unwrap_or(0.0), a.raw)?; }
        return Ok(());
    }
    let mut m = Combined::new(&options, keep.len());
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "score,raw")?;
    for r in &rows { let a = m.assess(r, None); m.learn(r, None, &a); writeln!(out, "{},{}", a.score.unwrap_or(0.0), a.raw)?; }
    Ok(())
}
