using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora example</c>: the files the bundled model and data are made from.</summary>
internal sealed class ExampleCommand() : CliCommand(
    "example", "Write what the bundled example is made from: text, instructions, tokenizer, model sizes.",
    [new SettingGroup("Example", Output, Documents, VocabSize)],
    ["cudalora example --output out/example"])
{
    private static readonly Setting<string?> Output = Make.Text(
        "output", "Folder for the files", "out/example", aka: ["output_dir"]);

    private static readonly Setting<int> Documents = Make.Int(
        "documents", "Documents of the pretraining text", 20_000, "5000", 100);

    private static readonly Setting<int> VocabSize = Make.Int(
        "vocab_size", "Tokens of the vocabulary", 1280, "1024", 300);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var folder = values.Require(Output);
        WorldFiles.Write(folder, values.Get(Documents), values.Get(VocabSize));
        terminal.Line($"written to {folder}:");
        terminal.Line("  corpus.txt, corpus_valid.txt   text to pretrain on, and to score");
        terminal.Line("  train.jsonl, eval.jsonl        instructions to learn, and held out");
        terminal.Line("  base                           tokenizer and config.json of the model to pretrain");
        return ExitCode.Success;
    }
}
