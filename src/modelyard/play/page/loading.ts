// Modules and data that are fetched when they are needed.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refused } from "./api.ts";

const loaded = new Map<string, ComponentType<never>>();

/** The default export of a module, null until it has come. */
export function useLoaded<P>(name: string, load: () => Promise<{ default: ComponentType<P> }>, isWanted = true): ComponentType<P> | null {
  const [, refresh] = useState(0);
  useEffect(() => {
    if (isWanted && !loaded.has(name)) {
      load().then(
        (module) => {
          loaded.set(name, module.default as unknown as ComponentType<never>);
          refresh((count) => count + 1);
        },
        // The server has gone or has been renewed: the page is fetched anew when somebody asks for it.
        () => console.error(`${name} could not be loaded; reload the page`),
      );
    }
  }, [name, isWanted]);
  return (loaded.get(name) as unknown as ComponentType<P> | undefined) ?? null;
}

/** What a call returned, or why it did not; both null while it is under way. */
export function useFetched<T>(fetchIt: () => Promise<T>, name: string): { value: T | null; error: Refused | null } {
  const [state, setState] = useState<{ value: T | null; error: Refused | null }>({ value: null, error: null });
  useEffect(() => {
    let isCurrent = true;
    fetchIt().then(
      (value) => isCurrent && setState({ value, error: null }),
      (error: unknown) => isCurrent && setState({ value: null, error: asRefused(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [name]);
  return state;
}

/** An error as the page shows it; asks for a key where that is what was missing. */
export function asRefused(error: unknown): Refused {
  if (error instanceof Refused) {
    if (error.status === 401) dispatchEvent(new Event("key-needed"));
    return error;
  }
  return new Refused(0, [{ place: [], message: String((error as Error)?.message ?? error) }], "");
}
