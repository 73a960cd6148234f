// Lets each team reach what a table lists for it: names by regular expressions, and ports. In JavaScript, without
// anything but the language.

const SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['label', 'teams'],
  properties: {
    label: { type: 'string', description: 'The label of workloads that says whose they are.' },
    teams: {
      type: 'object',
      description: 'By the value of that label: what the team may reach.',
      additionalProperties: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['names'],
          properties: {
            names: { type: 'string', description: 'A regular expression that matches the whole name.' },
            ports: { type: 'array', items: { type: 'integer' }, description: 'Else all ports.' },
          },
        },
      },
    },
  },
};

let label;
let teams = new Map();

export function describe() {
  return {
    summary: 'Lets each team reach what a table lists for it.',
    version: '0.1.0',
    inputs: ['workload', 'names', 'port'],
    settingsSchema: JSON.stringify(SCHEMA),
  };
}

export function configure(settings) {
  const given = JSON.parse(settings);
  check(given, SCHEMA, 'settings');
  label = given.label;
  teams = new Map(Object.entries(given.teams).map(([team, rows]) => [team, rows.map(row)]));
}

export function decide({ workload, destination }) {
  const team = workload.labels.find(({ key }) => key === label)?.value;
  const rows = teams.get(team);
  const answer = (verdict) => ({ verdict, scope: 'address', ttl: 600 });
  if (rows === undefined) {
    return answer({ tag: 'next' });
  }
  const listed = destination.names.some((name) => rows.some((row) => row(name, destination.port)));
  if (listed) {
    return answer({ tag: 'allow' });
  }
  const place = destination.names[0] ?? 'an address without a name';
  return answer({ tag: 'deny', val: `${place}, port ${destination.port}, is not in the table of ${team}` });
}

// A row of the table as a question: is this name, at this port, in it?
function row({ names, ports }) {
  let pattern;
  try {
    pattern = new RegExp(`^(?:${names})$`, 'u');
  } catch (error) {
    refuse(`\`${names}\` is no regular expression: ${error.message}`);
  }
  return (name, port) => (ports === undefined || ports.includes(port)) && pattern.test(name);
}

// Refuses what does not fit the schema; of JSON schema this knows what is used above.
function check(given, schema, place) {
  const fits = {
    object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    array: Array.isArray,
    string: (value) => typeof value === 'string',
    integer: Number.isInteger,
  };
  if (!fits[schema.type](given)) {
    refuse(`${place}: \`${JSON.stringify(given)}\` is no ${schema.type}`);
  }
  if (schema.type === 'array') {
    given.forEach((item, at) => check(item, schema.items, `${place}[${at}]`));
  }
  if (schema.type === 'object') {
    const missing = (schema.required ?? []).find((key) => !(key in given));
    if (missing !== undefined) {
      refuse(`${place}: \`${missing}\` is missing`);
    }
    for (const [key, value] of Object.entries(given)) {
      const inner = schema.properties?.[key] ?? schema.additionalProperties;
      if (inner === false) {
        refuse(`${place}: \`${key}\` is unknown`);
      }
      check(value, inner, `${place}.${key}`);
    }
  }
}

// What is thrown as a text is the error of the contract; any other error is a fault of the module.
function refuse(text) {
  throw text;
}
