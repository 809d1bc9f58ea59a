// The request as somebody would send it without the page.

import { useState } from "preact/hooks";
import { address, apiKey, type Values } from "./api.ts";

const LONGEST_SHOWN = 120;

export default function RequestShown({ route, request }: { route: string; request: Values }) {
  const [language, setLanguage] = useState<"curl" | "python">("curl");
  const [isCopied, setIsCopied] = useState(false);
  const write = language === "curl" ? curl : python;
  const copy = async () => {
    await navigator.clipboard.writeText(write(address(route), request));
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1500);
  };
  return (
    <div class="code">
      <div class="code-head">
        <div class="segments" role="group" aria-label="Language">
          {(["curl", "python"] as const).map((one) => (
            <button type="button" aria-pressed={one === language} onClick={() => setLanguage(one)}>{one === "curl" ? "curl" : "Python"}</button>
          ))}
        </div>
        <button class="button" type="button" onClick={() => void copy()}>{isCopied ? "Copied" : "Copy"}</button>
      </div>
      <pre tabindex={0} aria-label="The request"><code>{write(address(route), shortened(request) as Values)}</code></pre>
      <p class="quiet">Pictures are shortened here, not in the copy. Where the model has a champion, <code>/predict</code> takes the same.</p>
    </div>
  );
}

function shortened(value: unknown): unknown {
  if (typeof value === "string" && value.length > LONGEST_SHOWN) return `${value.slice(0, 40)}…`;
  if (Array.isArray(value)) return value.map(shortened);
  return value !== null && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shortened(one)])) : value;
}

/** JSON with one field a line, and lists on their line. */
function json(request: Values): string {
  const lines = Object.entries(request).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n}`;
}

function curl(url: string, request: Values): string {
  const key = apiKey.get() ? ` -H "X-API-Key: $MODELYARD_API_KEY"` : "";
  return `curl -s ${url} -H 'Content-Type: application/json'${key} -d @- <<'JSON'\n${json(request)}\nJSON`;
}

function python(url: string, request: Values): string {
  const key = apiKey.get();
  return [
    "import json",
    ...(key ? ["import os"] : []),
    "",
    "import httpx",
    "",
    `request = json.loads(r"""${json(request).replaceAll('"""', '\\"\\"\\"')}""")`,
    ...(key ? [`headers = {"X-API-Key": os.environ["MODELYARD_API_KEY"]}`] : []),
    `print(httpx.post("${url}", json=request${key ? ", headers=headers" : ""}, timeout=60).json())`,
  ].join("\n");
}
