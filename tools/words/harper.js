// Reads [[name, markdown], ...] as JSON from standard input, prints [[name, rule, text, message, start, end], ...].
// Run by tools/check_words.py in the folder in which npm has installed harper.js: node harper.js HARPER.JSON WORDS.TXT
import { readFileSync } from 'node:fs';
import { Dialect, LocalLinter } from 'harper.js';
import { binary } from 'harper.js/binary';

const [rules, words] = process.argv.slice(2);
const linter = new LocalLinter({ binary, dialect: Dialect.British });
const config = await linter.getDefaultLintConfig();
for (const name of Object.keys(JSON.parse(readFileSync(rules, 'utf8')).off)) config[name] = false;
await linter.setLintConfig(config);
await linter.importWords(readFileSync(words, 'utf8').split('\n').filter((line) => line && !line.startsWith('#')));
const found = [];
for (const [name, text] of JSON.parse(readFileSync(0, 'utf8'))) {
  for (const [rule, lints] of Object.entries(await linter.organizedLints(text, { language: 'markdown' }))) {
    for (const lint of lints) {
      const span = lint.span();
      found.push([name, rule, lint.get_problem_text(), lint.message(), span.start, span.end]);
    }
  }
}
console.log(JSON.stringify(found));
