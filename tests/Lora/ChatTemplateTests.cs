using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Renderings against strings written by hand from the published Jinja templates.</summary>
public class ChatTemplateTests
{
    private static readonly ChatMessage[] Turns =
    [
        new("user", "Hi there "), new("assistant", "Hello!"), new("user", "Bye"),
    ];

    private static readonly ChatMessage[] WithSystem = [new("system", "Be kind."), .. Turns];

    private static ChatTemplate From(string jinjaFile, string bos, string eos) => ChatTemplate.For(
        TinyTokenizer.Make(File.ReadAllText(SharedData.Require($"tokenizers/chat_templates/{jinjaFile}.jinja")), bos,
            eos));

    [Fact]
    public void Qwen25()
    {
        var template = From("Qwen-Qwen2.5-7B-Instruct", "", "<|im_end|>");
        Assert.Equal("chatml", template.Name);
        Assert.Equal("""
            <|im_start|>system
            You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
            <|im_start|>user
            Hi there <|im_end|>
            <|im_start|>assistant
            Hello!<|im_end|>
            <|im_start|>user
            Bye<|im_end|>
            <|im_start|>assistant

            """, template.RenderText(Turns, addGenerationPrompt: true));
        Assert.StartsWith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi",
            template.RenderText(WithSystem));
    }

    [Fact]
    public void Llama31()
    {
        var template = From("meta-llama-Llama-3.1-8B-Instruct", "<|begin_of_text|>", "<|eot_id|>");
        Assert.Equal("llama3", template.Name);
        const string Head = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            + "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
        const string Rest = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
            + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        Assert.Equal(Head + Rest, template.RenderText(Turns, addGenerationPrompt: true));
        Assert.Equal(Head + "Be kind." + Rest, template.RenderText(WithSystem, addGenerationPrompt: true));
    }

    [Fact]
    public void Gemma2()
    {
        var template = From("google-gemma-2-2b-it", "<bos>", "<eos>");
        Assert.Equal("gemma", template.Name);
        const string Rest = "Hi there<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
            + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n";
        Assert.Equal("<bos><start_of_turn>user\n" + Rest, template.RenderText(Turns, addGenerationPrompt: true));
        Assert.Equal("<bos><start_of_turn>user\nBe kind.\n\n" + Rest, template.RenderText(WithSystem,
            addGenerationPrompt: true));
    }

    // Llama-2's and Mistral 0.2's templates as published, written from memory of their Jinja text.
    [Fact]
    public void Inst_families()
    {
        var llama = ChatTemplate.For(TinyTokenizer.Make("... '<<SYS>>\\n' ... [INST] ", "<s>", "</s>"));
        Assert.Equal("llama2", llama.Name);
        Assert.Equal("<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi there [/INST] Hello! </s><s>[INST] Bye [/INST]",
            llama.RenderText(WithSystem, addGenerationPrompt: true));
        var mistral = ChatTemplate.For(TinyTokenizer.Make("'[INST] ' + message['content'] + ' [/INST]'", "<s>",
            "</s>"));
        Assert.Equal("<s>[INST] Hi there  [/INST]Hello!</s>[INST] Bye [/INST]", mistral.RenderText(Turns));
        var third = ChatTemplate.For(TinyTokenizer.Make("'[INST] ' + message['content'] + '[/INST]'", "<s>", "</s>"));
        Assert.Equal("<s>[INST] Hi there [/INST] Hello!</s>[INST] Bye[/INST]", third.RenderText(Turns));
    }

    [Fact]
    public void Plain_and_alpaca()
    {
        var tokenizer = TinyTokenizer.Make();
        Assert.Equal(
            "### Instruction:\nHi there \n\n### Response:\nHello!<eos>\n\n### Instruction:\nBye\n\n### Response:\n",
            ChatTemplate.For(tokenizer).RenderText(Turns, addGenerationPrompt: true));
        Assert.StartsWith(
            "Below is an instruction that describes a task. Write a response that appropriately completes the "
            + "request.\n\n### Instruction:\nHi", ChatTemplate.Named("alpaca", tokenizer).RenderText(Turns));
        Assert.StartsWith("Be kind.\n\n### Instruction:\nHi", ChatTemplate.Named("plain",
            tokenizer).RenderText(WithSystem));
    }

    [Theory]
    [InlineData("plain", "Hello!<eos>")]
    [InlineData("chatml", "Hello!<|im_end|>")]
    [InlineData("llama3", "Hello!<|eot_id|>")]
    [InlineData("gemma", "Hello!<end_of_turn>")]
    [InlineData("llama2", " Hello! <eos>")]
    [InlineData("mistral", "Hello!<eos>")]
    public void Only_what_the_assistant_says_is_learned(string name, string learned)
    {
        var parts = ChatTemplate.Named(name, TinyTokenizer.Make()).Render(WithSystem);
        Assert.Equal([learned], parts.Where(part => part.Learned).Select(part => part.Text));
        Assert.DoesNotContain(parts.Zip(parts.Skip(1)), pair => pair.First.Learned == pair.Second.Learned);
    }

    [Fact]
    public void An_unknown_template_is_named_and_the_plain_one_used()
    {
        string? warning = null;
        var template = ChatTemplate.For(TinyTokenizer.Make("{{ '<|quux|>' }}  here"), text => warning = text);
        Assert.Equal("plain", template.Name);
        Assert.Contains("{{ '<|quux|>' }} here", warning);
        Assert.Contains("chatml", Assert.Throws<UserErrorException>(() => ChatTemplate.Named("x",
            TinyTokenizer.Make())).Message);
    }

    [Fact]
    public void Generation_stops_at_the_end_of_turn_and_of_text()
    {
        var tokenizer = TinyTokenizer.Make(null, "", "<eos>", "<|im_end|>");
        Assert.Equal([257, 256], ChatTemplate.StopIds(ChatTemplate.Named("chatml", tokenizer), tokenizer));
        Assert.Equal([257], ChatTemplate.StopIds(ChatTemplate.Named("plain", tokenizer), tokenizer));
    }
}
