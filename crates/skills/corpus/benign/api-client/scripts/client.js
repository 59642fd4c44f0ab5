const fs = require('fs');
const env = Object.fromEntries(fs.readFileSync('.env', 'utf8').split('\n').filter(Boolean).map((l) => l.split('=')));

async function create(name) {
  const answer = await fetch('https://api.client.example/v1/items', {
    method: 'POST',
    headers: { Authorization: `Bearer ${env.CLIENT_API_KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

create(process.argv[2]).then(console.log);
