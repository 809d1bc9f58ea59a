import type { Refused } from "./api.ts";

/** What went wrong, and the way out. */
export function Trouble({ error, onRetry }: { error: Refused; onRetry?: (() => void) | undefined }) {
  return (
    <div class="notice bad" role="alert">
      <div>
        {error.problems.map((problem) => (
          <p><strong>{problem.place.length > 0 && `${problem.place.join(" › ")}: `}{problem.message}</strong></p>
        ))}
        {error.wayOut && <p>The way out: {error.wayOut}.</p>}
      </div>
      {onRetry && <button class="button" type="button" onClick={onRetry}>Try again</button>}
    </div>
  );
}
