namespace CudaLora.Lora;

public abstract partial class ChatTemplate
{
    /// <summary>Stanford Alpaca's markers, with or without its opening sentence as the default system text.</summary>
    private sealed class Alpaca(string name, Tokenizer tokenizer, string preamble) : ChatTemplate(name, tokenizer)
    {
        public const string Opening = "Below is an instruction that describes a task. "
            + "Write a response that appropriately completes the request.";

        public override bool WritesBos => false;
        public override string EndOfTurn => Eos;

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            string opening = system ?? preamble;
            if (opening.Length > 0) output.Given(opening + "\n\n");
            bool asked = false;
            for (int i = 0; i < turns.Count; i++)
            {
                if (turns[i].Role == ChatMessage.Assistant)
                {
                    if (!asked) output.Given("### Response:\n");
                    output.Learned(turns[i].Content + Eos);
                    if (i + 1 < turns.Count) output.Given("\n\n");
                    asked = false;
                }
                else
                {
                    output.Given($"### Instruction:\n{turns[i].Content}\n\n### Response:\n");
                    asked = true;
                }
            }
            if (prompt && !asked) output.Given("\n\n### Response:\n");
        }
    }

    /// <summary>ChatML, as Qwen uses it.</summary>
    private sealed class ChatMl(Tokenizer tokenizer, string? defaultSystem) : ChatTemplate("chatml", tokenizer)
    {
        public override bool WritesBos => false;
        public override string EndOfTurn => "<|im_end|>";

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            if ((system ?? defaultSystem) is { } opening) output.Given($"<|im_start|>system\n{opening}<|im_end|>\n");
            foreach (var turn in turns)
            {
                output.Given($"<|im_start|>{turn.Role}\n");
                if (turn.Role == ChatMessage.Assistant) output.Learned(turn.Content + EndOfTurn);
                else output.Given(turn.Content + EndOfTurn);
                output.Given("\n");
            }
            if (prompt) output.Given("<|im_start|>assistant\n");
        }
    }

    /// <summary>Llama-3 and, with its dated preamble, Llama-3.1 and 3.2.</summary>
    private sealed class Llama3(Tokenizer tokenizer, string? preamble) : ChatTemplate("llama3", tokenizer)
    {
        public override string EndOfTurn => "<|eot_id|>";

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            output.Given(Bos);
            if (system != null || preamble != null) output.Given(Head("system") + preamble + system?.Trim()
                + EndOfTurn);
            foreach (var turn in turns)
            {
                output.Given(Head(turn.Role));
                if (turn.Role == ChatMessage.Assistant) output.Learned(turn.Content.Trim() + EndOfTurn);
                else output.Given(turn.Content.Trim() + EndOfTurn);
            }
            if (prompt) output.Given(Head(ChatMessage.Assistant));
        }

        private static string Head(string role) => $"<|start_header_id|>{role}<|end_header_id|>\n\n";
    }

    /// <summary>Gemma. It has no system role: such a text goes in front of the first user turn, as Gemma 3 does
    /// it.</summary>
    private sealed class Gemma(Tokenizer tokenizer) : ChatTemplate("gemma", tokenizer)
    {
        public override string EndOfTurn => "<end_of_turn>";

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            output.Given(Bos);
            string before = system == null ? "" : system.Trim() + "\n\n";
            foreach (var turn in turns)
            {
                bool speaks = turn.Role == ChatMessage.Assistant;
                output.Given($"<start_of_turn>{(speaks ? "model" : turn.Role)}\n");
                if (speaks) output.Learned(turn.Content.Trim() + EndOfTurn);
                else output.Given(before + turn.Content.Trim() + EndOfTurn);
                if (!speaks) before = "";
                output.Given("\n");
            }
            if (prompt) output.Given("<start_of_turn>model\n");
        }
    }

    /// <summary>Llama-2: every question opens with the begin token, every answer ends with the end token.</summary>
    private sealed class Llama2(Tokenizer tokenizer) : ChatTemplate("llama2", tokenizer)
    {
        public override string EndOfTurn => Eos;

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            string before = system == null ? "" : $"<<SYS>>\n{system}\n<</SYS>>\n\n";
            foreach (var turn in turns)
            {
                if (turn.Role == ChatMessage.Assistant) output.Learned($" {turn.Content.Trim()} {Eos}");
                else output.Given($"{Bos}[INST] {(before + turn.Content).Trim()} [/INST]");
                before = "";
            }
        }
    }

    /// <summary>Mistral's instruct models: one begin token; a system text goes in front of the first
    /// question.</summary>
    private sealed class Mistral(Tokenizer tokenizer, bool blankBeforeEnd) : ChatTemplate("mistral", tokenizer)
    {
        public override string EndOfTurn => Eos;

        private protected override void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
            bool prompt)
        {
            output.Given(Bos);
            string before = system == null ? "" : system + "\n\n";
            foreach (var turn in turns)
            {
                if (turn.Role == ChatMessage.Assistant)
                    output.Learned(blankBeforeEnd ? turn.Content + Eos : $" {turn.Content.Trim()}{Eos}");
                else output.Given($"[INST] {before}{turn.Content}{(blankBeforeEnd ? " " : "")}[/INST]");
                before = "";
            }
        }
    }
}
