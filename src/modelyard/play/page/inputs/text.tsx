import type * as d from "../description.ts";
import type { InputProps } from "../widgets.ts";

export default function TextInput({ input, id, errorId, request, set }: InputProps<d.Text>) {
  const value = typeof request[input.field] === "string" ? (request[input.field] as string) : "";
  const shared = {
    id, class: "line", value, maxLength: input.max_length, "aria-invalid": errorId !== undefined, "aria-describedby": errorId,
    onInput: (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => set({ [input.field]: event.currentTarget.value }),
  };
  return (
    <>
      {input.rows > 1 ? <textarea {...shared} rows={input.rows} /> : <input {...shared} type="text" autocomplete="off" />}
      {value.length > 0.8 * input.max_length && <p class="quiet">{value.length} of {input.max_length} characters</p>}
    </>
  );
}
