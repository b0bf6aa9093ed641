// Reads [[name, markdown], ...] as JSON from standard input, prints [[name, rule, text, message, start], ...].
// Run by tools/check_words.py in the folder in which npm has installed harper.js: node harper.js HARPER.JSON
import { readFileSync } from 'node:fs';
import { Dialect, LocalLinter } from 'harper.js';
import { binary } from 'harper.js/binary';

const rules = process.argv[2];
const linter = new LocalLinter({ binary, dialect: Dialect.British });
const config = await linter.getDefaultLintConfig();
for (const name of Object.keys(JSON.parse(readFileSync(rules, 'utf8')).off)) config[name] = false;
await linter.setLintConfig(config);
const found = [];
for (const [name, text] of JSON.parse(readFileSync(0, 'utf8'))) {
  for (const [rule, lints] of Object.entries(await linter.organizedLints(text, { language: 'markdown' }))) {
    for (const lint of lints) {
      found.push([name, rule, lint.get_problem_text(), lint.message(), lint.span().start]);
    }
  }
}
console.log(JSON.stringify(found));
